"""The HF-MoE-IR network: configuration, assembly, presets, weights and costs."""
