"""
Is there a shortcut, and where?
===============================

Nobody has said what the shortcut might be. Training samples and their classes are all there is: the
upper of two digits is even or odd, and something else gives that away.
"""

from sklearn_hsfm.datasets import load_digit_dominoes
from sklearn_hsfm.inspection import Report, audit

data = load_digit_dominoes(random_state=0)

# %%
# An audit fits plain, class-balanced and repaired heads, each on all folds but the one that it
# judges.

found = audit(
    None, data.X_train, data.y_train, images=data.X_train.reshape(-1, 16, 8), random_state=0
)
print(found)

# %%
# As a page, which ``found.save("audit.html")`` writes: the even digits that ERM takes for odd stand
# on a 1, the odd ones that it takes for even on a 0. The lower digit is the shortcut.

Report(found.to_html())

# %%
# Numbers are there, too.

found.to_frame().round(3)

# %%
# What the audit inferred can be checked here, for the groups are known: nobody told it of them.

print(audit(None, data.X_train, data.y_train, groups=data.groups_train, random_state=0))
