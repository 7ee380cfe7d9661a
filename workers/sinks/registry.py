"""The sinks there are: a line here and a file beside it make one more."""

from workers.sinks.conflating import Conflating
from workers.sinks.json_lines import JsonLines, JsonLinesOptions
from workers.sinks.parquet_file import ParquetFile, ParquetOptions
from workers.sinks.sink import Sink

SINKS = {JsonLinesOptions: JsonLines, ParquetOptions: ParquetFile}
SinkOptions = ParquetOptions | JsonLinesOptions


def build(options: SinkOptions) -> Sink:
    """The sink that some options ask for."""
    sink: Sink = SINKS[type(options)](options)
    return Conflating(sink, options.conflate_ms) if options.conflate_ms else sink
