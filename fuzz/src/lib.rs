//! Fuzz targets for everything a stranger can reach.
