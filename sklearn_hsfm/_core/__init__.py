"""Algorithm 1 of the HSFM paper on tensors; imports torch alone.

One file, `recursion_triton`, imports triton too, and is imported where a GPU can run it.

Notation, kept through the folder (the paper's symbols where it has them):

====  ==================================================================
B     independent problems that are solved side by side
n     rows of a support set S, all classes together
m     rows of a hard set Q, all classes together
N     validation rows
C     classes
R     rows of a head: 1, the log-odds, for two classes, else C
D     features, zeros up to a multiple of 16, and a constant 1, so that one
      matrix ``W`` of shape (B, R, D) holds weights and intercepts
====  ==================================================================
"""
