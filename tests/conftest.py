"""For all tests: servers that live for seconds are compiled quickly, not well."""

import os

os.environ.setdefault("JAVA_TOOL_OPTIONS", "-XX:TieredStopAtLevel=1")
