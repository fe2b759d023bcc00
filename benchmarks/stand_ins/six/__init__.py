"""The part of six that super_resolution imports."""
