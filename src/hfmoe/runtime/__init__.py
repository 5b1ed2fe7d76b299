"""Files, memory, processes: what the package asks of the machine that it runs on."""
