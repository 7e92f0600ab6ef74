"""One step of a training after the other: devices, crops, buffers and CUDA graphs."""
