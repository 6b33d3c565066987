"""Run by spark-submit on the emulated node, from S3: every form in which programs read and write s3://, in one JVM.

Usage: spark_forms.py BUCKET. Prints one JSON document with what was read back; the test looks at the objects.
"""

import json
import sys
from datetime import datetime

from pyspark.sql import Row, SparkSession

base = f"s3://{sys.argv[1]}/forms"
spark = SparkSession.builder.getOrCreate()
sc = spark.sparkContext
found = {"master": sc.master, "kept": spark.conf.get("spark.sql.shuffle.partitions"), "warehouse": sc.applicationId}

frame = spark.createDataFrame([Row(number=n, word=f"w{n % 3}") for n in range(20)]).repartition(2)
frame.write.parquet(f"{base}/parquet")
found["parquet"] = spark.read.parquet(f"{base}/parquet").count()
found["glob"] = spark.read.parquet(f"{base}/parq*/part-*").count()
found["s3a"] = spark.read.parquet(f"{base}/parquet".replace("s3:", "s3a:")).count()

frame.write.csv(f"{base}/csv", header=True)
frame.limit(5).write.mode("overwrite").csv(f"{base}/csv", header=True)
found["csv"] = spark.read.csv(f"{base}/csv", header=True, inferSchema=True).agg({"number": "count"}).first()[0]

frame.write.json(f"{base}/json")
frame.write.mode("append").json(f"{base}/json")
found["json"] = spark.read.json(f"{base}/json").count()

when = datetime(2020, 1, 2, 3, 4, 5)  # noqa: DTZ001  # a timestamp of Spark's, which has no zone
odd = [Row(number=1, part="a b+c", when=when), Row(number=2, part="50%/é", when=when)]
spark.createDataFrame(odd).write.partitionBy("part", "when").parquet(f"{base}/partitioned")
back = spark.read.parquet(f"{base}/partitioned").orderBy("number").collect()
found["partitioned"] = [[row["number"], row["part"], str(row["when"])] for row in back]

sc.parallelize(["one", "two", "three"], 2).saveAsTextFile(f"{base}/text")
found["text"] = sorted(sc.textFile(f"{base}/text").collect())
found["large"] = sc.textFile(f"s3://{sys.argv[1]}/large file.txt", 4).map(len).sum()
found["whole"] = [
    [path.rpartition("/")[2], text] for path, text in sc.wholeTextFiles(f"s3://{sys.argv[1]}/in").collect()
]

frame.write.format("parquet").option("path", f"{base}/table").saveAsTable("forms")
found["table"] = spark.sql("select count(*) from forms").first()[0]


def error_of(action):
    """The words of an error, which is the point: each is to be read by a person."""
    try:
        action()
    except Exception as error:  # noqa: BLE001  # whatever Spark makes of it
        return f"{type(error).__name__}: {error}"[:400]
    return None


found["again"] = error_of(lambda: frame.write.parquet(f"{base}/parquet"))
found["absent"] = error_of(lambda: spark.read.parquet(f"{base}/absent"))
found["no bucket"] = error_of(lambda: spark.read.text("s3://no-such-bucket-anywhere/x"))
found["failed job"] = error_of(
    lambda: frame.rdd.map(lambda row: str(1 / row["number"])).saveAsTextFile(f"{base}/failed")
)
print("FOUND " + json.dumps(found))
