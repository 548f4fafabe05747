"""Heads as ONNX: a converter for skl2onnx."""

import numpy as np

from sklearn_hsfm import heads
from sklearn_hsfm._classifier import HSFMClassifier
from sklearn_hsfm._classifier_cv import HSFMClassifierCV
from sklearn_hsfm._linear_head import LinearHeadMixin, one_row_per_class

_OPTIONS = {
    "zipmap": [True, False, "columns"],
    "nocl": [False, True],
    "output_class_labels": [False, True],
    "raw_scores": [False, True],
}


def register_onnx() -> None:
    """Tell skl2onnx how to convert the classifiers of this package.

    Afterwards ``skl2onnx.to_onnx`` and ``convert_sklearn`` take `HSFMClassifier`,
    `HSFMClassifierCV` and all of `sklearn_hsfm.heads`, also as steps of a `Pipeline`. The graph
    has the outputs of any classifier of scikit-learn, label and probabilities, and the options
    ``zipmap``, ``nocl``, ``output_class_labels`` and ``raw_scores``; with the latter, logits, one
    a class.

    Raises
    ------
    ImportError
        If skl2onnx is missing; the message names the extra.

    See Also
    --------
    repaired : A network with the head in place, for ``torch.onnx.export``.

    Notes
    -----
    Numbers of the graph are of the type of its input: float32 inputs make a float32 graph, whose
    logits differ from ``decision_function`` by rounding.

    Examples
    --------
    >>> from skl2onnx import to_onnx  # doctest: +SKIP
    >>> from sklearn_hsfm.deployment import register_onnx
    >>> register_onnx()  # doctest: +SKIP
    >>> model = to_onnx(clf, X[:1].astype("float32"), options={"zipmap": False})  # doctest: +SKIP
    """
    try:
        from skl2onnx import update_registered_converter
        from skl2onnx.common.shape_calculator import calculate_linear_classifier_output_shapes
    except ImportError as error:
        raise ImportError(
            "Converting to ONNX needs skl2onnx: pip install 'sklearn_hsfm[onnx]'."
        ) from error
    peers = [getattr(heads, name) for name in heads.__all__]
    for kind in (HSFMClassifier, HSFMClassifierCV, *peers):
        if issubclass(kind, LinearHeadMixin):
            update_registered_converter(
                kind,
                f"SklearnHsfm{kind.__name__}",
                calculate_linear_classifier_output_shapes,
                _convert,
                options=_OPTIONS,
            )


def _convert(scope, operator, container):
    """Add a head to a graph: label and probabilities, or logits, of its input."""
    from skl2onnx.algebra import onnx_ops as ops
    from skl2onnx.common.data_types import DoubleTensorType, FloatTensorType
    from skl2onnx.proto import onnx_proto

    head, version = operator.raw_operator, {"op_version": container.target_opset}
    options = container.get_options(head, {"raw_scores": False, "nocl": False})
    labels = np.arange(len(head.classes_)) if options["nocl"] else _labels(head)
    label, scores = operator.outputs
    X, kind = operator.inputs[0], np.float32
    if isinstance(X.type, DoubleTensorType):
        kind = np.float64
    elif not isinstance(X.type, FloatTensorType):
        X = ops.OnnxCast(X, to=onnx_proto.TensorProto.FLOAT, **version)
    coef, intercept = one_row_per_class(head.coef_, head.intercept_)
    product = ops.OnnxMatMul(X, coef.T.astype(kind), **version)
    last = {**version, "output_names": [scores]}
    logits = ops.OnnxAdd(
        product, intercept.astype(kind), **(last if options["raw_scores"] else version)
    )
    index = ops.OnnxArgMax(logits, axis=1, keepdims=0, **version)
    found = ops.OnnxGather(labels, index, axis=0, **version, output_names=[label])
    found.add_to(scope, container)
    if not options["raw_scores"]:
        logits = ops.OnnxSoftmax(logits, axis=1, **last)
    logits.add_to(scope, container)


def _labels(head):
    """Return the classes as ONNX has them: text, or int64."""
    classes = head.classes_
    if all(isinstance(label, str) for label in classes):
        return np.array([str(label) for label in classes], dtype=object).astype(str)
    whole = [label for label in classes.tolist() if isinstance(label, int | float)]
    if len(whole) < len(classes) or any(label != int(label) for label in whole):
        raise ValueError(
            f"The classes of {type(head).__name__} are {classes.tolist()}, but labels in ONNX are "
            "text or whole numbers. Fit it on such labels."
        )
    return classes.astype(np.int64)
