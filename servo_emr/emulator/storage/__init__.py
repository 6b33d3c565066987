"""S3 from inside, and the buckets as Hadoop's WebHDFS client sees them."""
