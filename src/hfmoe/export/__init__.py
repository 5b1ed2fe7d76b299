"""Networks as files for other runtimes: ONNX, OpenVINO and torch.export programs, checked against eager."""
