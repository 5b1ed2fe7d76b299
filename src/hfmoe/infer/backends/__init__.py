"""Exported files as the network of a `Restorer`: ONNX Runtime and OpenVINO."""
