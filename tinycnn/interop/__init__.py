"""Weights in and out: PyTorch, Keras, ONNX, safetensors.  Other libraries are imported only by the conversions."""
