"""Names of Keras's and PyTorch's that are not there, and what does the same here."""

import inspect
from typing import TYPE_CHECKING, Any, TypeVar

T = TypeVar("T")

# Names of Keras's and PyTorch's, and what does the same here.
INSTEAD = {
    **dict.fromkeys(["MaxPooling2D", "MaxPool2d"], "MaxPool2D"),
    **dict.fromkeys(["AveragePooling2D", "AvgPool2D", "AvgPool2d"], "AveragePool2D"),
    **dict.fromkeys(["GlobalAveragePooling2D", "AdaptiveAvgPool2d"], "GlobalAveragePool2D"),
    **dict.fromkeys(["GlobalMaxPooling2D", "AdaptiveMaxPool2d"], "GlobalMaxPool2D"),
    **dict.fromkeys(["BatchNormalization", "BatchNorm2d", "BatchNorm1d"], "BatchNorm"),
    "LayerNormalization": "LayerNorm",
    **dict.fromkeys(["UpSampling2D", "Upsample"], "UpSample2D"),
    "Conv2d": "Conv2D(filters, kernel_size)",
    "ConvTranspose2d": "Conv2DTranspose(filters, kernel_size)",
    "Linear": "Dense(units)",
    "ZeroPad2d": "ZeroPadding2D",
    "Dropout2d": "Dropout",
    "Unflatten": "Reshape",
    **dict.fromkeys(["Add", "Concatenate"], "Residual or Parallel, or add and concatenate of tinycnn.keras.layers"),
    **dict.fromkeys(["Input", "InputLayer", "Activation", "Model", "add", "concatenate"], "it from tinycnn.keras"),
    **dict.fromkeys(["ModuleList", "Module"], "Sequential, and Layer for one of your own"),
    **dict.fromkeys(
        ["ModelCheckpoint", "ReduceLROnPlateau", "LearningRateScheduler", "LambdaCallback", "utils", "metrics"],
        "it from tinycnn.keras",
    ),
    **dict.fromkeys(
        ["RandomFlip", "RandomRotation", "RandomZoom", "RandomTranslation", "RandomContrast"],
        "it from tinycnn.keras.layers, or fit(augment=Augment(...))",
    ),
    **dict.fromkeys(["RandomBrightness", "RandomCrop", "GaussianNoise"], "fit(augment=tinycnn.Augment(...))"),
    **dict.fromkeys(["CrossEntropyLoss", "CategoricalCrossentropy", "SparseCategoricalCrossentropy"], "CrossEntropy"),
    **dict.fromkeys(["BCEWithLogitsLoss", "BCELoss", "BinaryCrossentropy"], "BinaryCrossEntropy"),
    "MSELoss": "MeanSquaredError",
    **dict.fromkeys(["l1", "l2", "L1", "L2"], "it from tinycnn.regularizers, or weight_decay= of the optimizer"),
    **dict.fromkeys(["datasets", "image_dataset_from_directory", "ImageFolder"], "load_image_folder"),
    **dict.fromkeys(["AUC", "Precision", "Recall", "F1Score"], "tinycnn.scores, of what predict gives"),
    "applications": "tinycnn.models",
    "optim": "tinycnn.optimizers",
    **dict.fromkeys(["DataLoader", "TensorDataset"], "fit itself, which makes batches, or any iterable of them"),
    **dict.fromkeys(["RandomHorizontalFlip", "RandomResizedCrop", "ColorJitter"], "fit(augment=tinycnn.Augment(...))"),
    "random_split": "load_image_folder(validation_split=...), or data.split",
    **dict.fromkeys(
        ["transforms", "Compose", "ToTensor", "ImageDataGenerator"], "load_image_folder and tinycnn.Augment"
    ),
    **dict.fromkeys(["preprocessing", "Resizing", "CenterCrop"], "load_image_folder(size=...)"),
    **dict.fromkeys(["nn", "functional"], "tinycnn.layers and tinycnn.losses"),
    "relu": "ReLU",
    **dict.fromkeys(["Hardtanh", "Hardsigmoid", "Hardswish", "PReLU"], "ReLU6, LeakyReLU or SiLU"),
    **dict.fromkeys(["GroupNorm", "InstanceNorm2d", "GroupNormalization"], "BatchNorm or LayerNorm"),
    "SpatialDropout2D": "Dropout",
    **dict.fromkeys(["Identity", "Lambda", "Permute", "Multiply", "Cropping2D"], "Layer, and write one of your own"),
    **dict.fromkeys(["initializers", "HeNormal", "GlorotUniform"], 'their names: kernel_initializer="he_normal"'),
    "activations": 'their names: activation="relu"',
    **dict.fromkeys(["no_grad", "inference_mode"], "forward or predict: no graph is kept"),
    **dict.fromkeys(["Tensor", "tensor", "from_numpy", "ops"], "arrays of NumPy"),
    **dict.fromkeys(["cuda", "device"], "nothing: all runs on the processor"),
    **dict.fromkeys(["manual_seed", "set_random_seed"], "Sequential(seed=...) and fit(seed=...)"),
    **dict.fromkeys(
        ["backend", "clear_session", "mixed_precision"], "nothing: there is no session, and all is float32"
    ),
    **dict.fromkeys(["save", "load", "saving"], "model.save and Sequential.load"),
    "clone_model": "copy.deepcopy(model)",
    "plot_model": "model.summary() or tinycnn.anatomy(model)",
    "array_to_img": "fromarray of PIL.Image",
    **dict.fromkeys(["Adagrad", "Adadelta", "Adamax", "Nadam", "Lion", "Ftrl"], "Adam, AdamW, RMSprop or SGD"),
    **dict.fromkeys(
        ["lr_scheduler", "StepLR", "MultiStepLR", "CosineAnnealingLR", "PolynomialDecay"],
        "CosineDecay, ExponentialDecay or PiecewiseConstantDecay of tinycnn.schedules",
    ),
    "NLLLoss": "CrossEntropy, on logits",
    **dict.fromkeys(["L1Loss", "MeanAbsoluteError", "Huber", "mse"], "MeanSquaredError"),
    **dict.fromkeys(["TensorBoard", "ProgbarLogger"], "CSVLogger, fit(verbose=1) or tinycnn.Film"),
    "TerminateOnNaN": "nothing: fit stops at a loss that is not finite and says where it began",
    "BackupAndRestore": "tinycnn.Checkpoint",
    **dict.fromkeys(
        ["resnet18", "resnet50", "ResNet50", "VGG16", "vgg16", "mobilenet_v2", "MobileNetV2"],
        "small_resnet or small_vgg, or from_torch and from_keras for theirs",
    ),
}

# Arguments of constructors.
ARGUMENTS = {
    "stride": "use strides",
    "dilation": "use dilation_rate",
    "bias": "use use_bias",
    "out_channels": "use filters",
    "out_features": "use units",
    **dict.fromkeys(
        ["in_channels", "in_features", "num_features", "input_dim"], "leave it out; the input's shape tells it"
    ),
    **dict.fromkeys(
        ["input_shape", "batch_input_shape"], "put Input(shape) of tinycnn.keras first, or model.build(shape)"
    ),
    "inplace": "leave it out; memory is used again where it can be",
    "data_format": "leave it out; images are (height, width, channels)",
    "axis": "leave it out; it is the channels', the last",
    "eps": "use epsilon",
    "lr": "use learning_rate",
    "betas": "use beta_1 and beta_2",
    "alpha": "use negative_slope",
    "p": "use rate",
    **dict.fromkeys(["center", "scale"], "leave it out; gamma and beta are always learned"),
    "seed": "leave it out; Sequential(seed=...) and fit(seed=...) give all randomness",
    **dict.fromkeys(
        ["kernel_constraint", "bias_constraint", "activity_regularizer"], "use kernel_regularizer or bias_regularizer"
    ),
    **dict.fromkeys(["depthwise_regularizer", "pointwise_regularizer"], "use kernel_regularizer"),
    **dict.fromkeys(["depthwise_initializer", "pointwise_initializer"], "use kernel_initializer"),
    "max_value": "use ReLU6, which ends at 6",
    **dict.fromkeys(["clipnorm", "clipvalue"], "use global_clipnorm"),
    "amsgrad": "leave it out; AdamW and RMSprop are there too",
    "trainable": "set layer.trainable = False afterwards",
    "dtype": "give it to model.build(shape, dtype)",
}

# Attributes and methods of layers, models and optimizers.
ATTRIBUTES = {
    **dict.fromkeys(
        ["weights", "variables", "trainable_weights", "trainable_variables"], "params and grads of each layer"
    ),
    **dict.fromkeys(["get_weights", "set_weights", "kernel", "weight"], 'params["kernel"] and its like, and state'),
    **dict.fromkeys(["state_dict", "load_state_dict"], "get_weights and set_weights, or save and load_weights"),
    "save_weights": "save, whose file load_weights reads too",
    **dict.fromkeys(["get_config", "to_json", "from_config"], "save and Sequential.load, or config() of each layer"),
    **dict.fromkeys(["train", "eval"], "forward(x, training=True), or False, which is the default"),
    **dict.fromkeys(["to", "cuda", "cpu", "half", "float", "double"], "build(shape, dtype); all runs on the processor"),
    "zero_grad": "nothing: backward overwrites the gradients",
    "named_parameters": "parameters()",
    **dict.fromkeys(["children", "modules", "named_modules"], "layers or all_layers()"),
    "register_forward_hook": "tinycnn.trace",
    **dict.fromkeys(["requires_grad", "requires_grad_"], "trainable"),
    **dict.fromkeys(["train_on_batch", "fit_generator"], "fit, which takes any iterable of batches"),
    **dict.fromkeys(["test_on_batch", "evaluate_generator"], "evaluate"),
    **dict.fromkeys(["predict_on_batch", "predict_generator"], "predict"),
    "predict_classes": "predict(x).argmax(axis=1)",
    "pop": "Sequential(model.layers[:-1])",
    "export": "tinycnn.to_onnx(model, path)",
    **dict.fromkeys(["metrics_names", "history"], "what fit returns"),
    "lr": "learning_rate",
}


class Answers:
    """What layers, models and optimizers say to arguments and attributes of Keras's and PyTorch's.

    Examples
    --------
    >>> from tinycnn.layers import Dense
    >>> Dense(out_features=3)
    Traceback (most recent call last):
    ...
    TypeError: Dense takes no out_features: use units
    >>> Dense(3).requires_grad_(False)
    Traceback (most recent call last):
    ...
    AttributeError: 'Dense' object has no attribute 'requires_grad_': use trainable
    """

    def __new__(cls: type[T], *args: Any, **options: Any) -> T:
        for key in ARGUMENTS.keys() & options.keys():
            taken = inspect.signature(cls.__init__).parameters  # type: ignore[misc]
            if key not in taken and all(p.kind is not p.VAR_KEYWORD for p in taken.values()):
                raise TypeError(f"{cls.__name__} takes no {key}: {ARGUMENTS[key]}")
        return object.__new__(cls)

    if not TYPE_CHECKING:  # for which every attribute would be there

        def __getattr__(self, name: str) -> Any:
            hint = f": use {ATTRIBUTES[name]}" if name in ATTRIBUTES else ""
            raise AttributeError(f"{type(self).__name__!r} object has no attribute {name!r}{hint}")
