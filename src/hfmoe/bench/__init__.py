"""What a model costs: time, memory and multiply-adds by form, size of input and effort."""
