"""What runs a model file: OpenVINO, ONNX Runtime, PyTorch; one protocol for all."""
