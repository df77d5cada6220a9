"""What a ``.keras`` file may name: Keras' own parts that hold numbers and calculate.

Rules of this room:
1. A name is allowed because it stands here; what a later Keras adds is refused until somebody has
   read it (denylists have failed: CVE-2025-1550, CVE-2025-49655, CVE-2025-12060).
2. What runs code of the author, or of another file, never stands here: Lambda, TFSMLayer,
   TorchModuleWrapper, JaxLayer, FlaxLayer, and operations that take functions (Map, Scan, Cond, ...).
"""

from __future__ import annotations

from collections.abc import Mapping


def _words(text: str) -> frozenset[str]:
    return frozenset(text.split())


_LAYERS = _words("""
    Activation ActivityRegularization Add AdditiveAttention AlphaDropout Attention AugMix AutoContrast
    Average BatchNormalization Bidirectional CategoryEncoding CenterCrop Concatenate
    ContrastLimitedAdaptiveHistogramEqualization CutMix Dense Discretization Dot Dropout ELU EinsumDense
    Embedding Equalization Flatten GRU GRUCell GaussianDropout GaussianNoise GroupNormalization
    GroupQueryAttention GroupedQueryAttention HashedCrossing Hashing Identity InputLayer IntegerLookup
    LSTM LSTMCell LayerNormalization LeakyReLU Masking MaxNumBoundingBoxes Maximum MelSpectrogram
    Minimum MixUp MultiHeadAttention Multiply Normalization PReLU Permute Pipeline RMSNormalization RNN
    RandAugment RandomBrightness RandomColorDegeneration RandomColorJitter RandomContrast RandomCrop
    RandomElasticTransform RandomErasing RandomFlip RandomGaussianBlur RandomGrayscale RandomHue
    RandomInvert RandomPerspective RandomPosterization RandomRotation RandomSaturation RandomSharpness
    RandomShear RandomTranslation RandomZoom ReLU RepeatVector Rescaling Reshape Resizing
    ReversibleEmbedding STFTSpectrogram SeparableConv1D SeparableConv2D SimpleRNN SimpleRNNCell Softmax
    Solarization SpectralNormalization StackedRNNCells StringLookup Subtract TextVectorization
    TimeDistributed UnitNormalization
""") | frozenset(
    f"{name}{dims}D"
    for name in (
        "AdaptiveAveragePooling", "AdaptiveMaxPooling", "AveragePooling", "Conv", "ConvLSTM", "Cropping",
        "DepthwiseConv", "GlobalAveragePooling", "GlobalMaxPooling", "MaxPooling", "SpatialDropout",
        "UpSampling", "ZeroPadding",
    )
    for dims in (1, 2, 3)
) | frozenset(f"Conv{dims}DTranspose" for dims in (1, 2, 3))  # fmt: skip

_INITIALIZERS = _words("""
    Constant GlorotNormal GlorotUniform HeNormal HeUniform Identity IdentityInitializer LecunNormal
    LecunUniform Ones Orthogonal OrthogonalInitializer RandomNormal RandomUniform STFT STFTInitializer
    TruncatedNormal VarianceScaling Zeros
""")
_REGULARIZERS = frozenset({"L1", "L1L2", "L2", "OrthogonalRegularizer"})
_CONSTRAINTS = frozenset({"MaxNorm", "MinMaxNorm", "NonNeg", "UnitNorm"})
_DTYPE_POLICIES = frozenset({
    "DTypePolicy", "DTypePolicyMap", "FloatDTypePolicy", "Policy", "QuantizedDTypePolicy",
    "QuantizedFloat8DTypePolicy",
})  # fmt: skip
_QUANTIZERS = frozenset({
    "AbsMaxQuantizer", "Float8QuantizationConfig", "Int4QuantizationConfig", "Int8QuantizationConfig",
})  # fmt: skip
_OPTIMIZERS = _words("""
    Adadelta Adafactor Adagrad Adam AdamW Adamax Ftrl Lamb Lion LossScaleOptimizer Muon Nadam RMSprop
    SGD
""")

#: Operations of ``keras.ops`` that functional models may hold between their layers. Those whose result
#: may be far larger than what goes in (Arange, Full, Linspace, Tile, ...) do not stand here.
_NUMPY_OPERATIONS = _words("""
    Abs Absolute Add All Any Amax Amin Arccos Arccosh Arcsin Arcsinh Arctan Arctan2 Arctanh Argmax
    Argmin Average Cbrt Ceil Clip Concatenate Cos Cosh CountNonzero Cumprod Cumsum Divide DivideNoNan
    Dot Einsum Equal Exp Exp2 ExpandDims Expm1 Flip Floor FloorDivide GetItem Greater GreaterEqual Hypot
    Isfinite Isinf Isnan Less LessEqual Log Log10 Log1p Log2 Logaddexp LogicalAnd LogicalNot LogicalOr
    LogicalXor Matmul Max Maximum Mean Min Minimum Mod Moveaxis Multiply NanToNum Negative NotEqual
    OnesLike Power Prod Ravel Reciprocal Reshape Round Sign Sin Sinh Sort Sqrt Square Squeeze Stack Std
    Subtract Sum Swapaxes Take TakeAlongAxis Tan Tanh Tensordot Transpose TrueDivide Trunc Var Where
    ZerosLike
""")
_NN_OPERATIONS = _words("""
    AveragePool BatchNorm Celu Conv ConvTranspose DepthwiseConv DotProductAttention Elu Gelu Glu
    HardShrink HardSigmoid HardSilu HardTanh LayerNorm LeakyRelu LogSigmoid LogSoftmax MaxPool Moments
    MultiHot Normalize OneHot RMSNorm Relu Relu6 Selu SeparableConv Sigmoid Silu SoftShrink Softmax
    Softplus Softsign SparsePlus SparseSigmoid Sparsemax Squareplus TanhShrink Threshold
""")
_MATH_OPERATIONS = frozenset({"Erf", "Logsumexp", "Rsqrt", "TopK"})
_CORE_OPERATIONS = frozenset({"Cast", "ConvertToTensor", "Slice", "StopGradient", "Unstack"})
_MODELS = frozenset({"Functional", "Sequential"})

#: Module, as a file writes it -> the names in it that a file may use.
CLASSES: Mapping[str, frozenset[str]] = {
    "keras": _MODELS | _DTYPE_POLICIES,
    "keras.models": _MODELS,
    "keras.src.models.functional": _MODELS,
    "keras.src.models.sequential": _MODELS,
    "keras.src.engine.functional": _MODELS,  # Keras 2 from version 2.12 on
    "keras.layers": _LAYERS,
    "keras.initializers": _INITIALIZERS,
    "keras.regularizers": _REGULARIZERS,
    "keras.constraints": _CONSTRAINTS,
    "keras.dtype_policies": _DTYPE_POLICIES,
    "keras.mixed_precision": _DTYPE_POLICIES,
    "keras.quantizers": _QUANTIZERS,
    "keras.optimizers": _OPTIMIZERS,  # of a model inside the model, which loads as it was compiled
    "keras.src.ops.numpy": _NUMPY_OPERATIONS,
    "keras.src.ops.nn": _NN_OPERATIONS,
    "keras.src.ops.math": _MATH_OPERATIONS,
    "keras.src.ops.core": _CORE_OPERATIONS,
}

#: Functions that a file may name, all of them activations.
FUNCTIONS = _words("""
    celu elu exponential gelu glu hard_shrink hard_sigmoid hard_silu hard_swish hard_tanh leaky_relu
    linear log_sigmoid log_softmax mish relu relu6 selu sigmoid silu soft_shrink softmax softplus
    softsign sparse_plus sparse_sigmoid sparsemax squareplus swish tanh tanh_shrink threshold
""")
FUNCTION_MODULES = frozenset({None, "builtins", "keras.activations"})

#: What Keras builds by itself, without a module: values.
VALUES = frozenset({"__keras_tensor__", "__tensor__", "__numpy__", "__bytes__", "__ellipsis__", "__slice__"})
#: Of values the dtypes; another could make one number as long as the machine's memory.
VALUE_DTYPES = frozenset({
    "bfloat16", "bool", "float16", "float32", "float64", "int8", "int16", "int32", "int64", "string", "uint8",
    "uint16", "uint32", "uint64",
})  # fmt: skip
