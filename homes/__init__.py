"""The homes of a worker: its image, and settings of Occlum and Gramine, rendered and checked."""
