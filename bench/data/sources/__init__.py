"""Where images come from, one source per file. Importing this fills the registry."""

from bench.data.sources import bloodmnist, csv_table, folder, npz, parquet, predictions, synthetic

__all__ = ["bloodmnist", "csv_table", "folder", "npz", "parquet", "predictions", "synthetic"]
