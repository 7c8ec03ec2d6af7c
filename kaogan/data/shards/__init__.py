"""Sharded datasets: tar files of pictures (WebDataset), with an index of columns that tells where each picture lies.

shards.json                what the set is: its shards, its columns, the digest of the index
index.npz                  one array a column: offset, size and checksum of each picture, names, labels
shard-000000.tar ...       the pictures; any program that reads WebDataset reads them without the index
"""
