"""Ablation studies: networks trained alike under equal budgets, compared with paired statistics."""
