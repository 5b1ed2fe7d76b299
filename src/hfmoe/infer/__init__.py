"""Running a network on pictures: devices, tiles, memory, and the public load and restore."""
