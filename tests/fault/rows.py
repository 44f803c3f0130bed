"""All rows, in the order of docs/reliability.md."""

from tests.fault import broker, camera, model, process
from tests.fault.table import Row

ROWS: tuple[Row, ...] = (*camera.ROWS, *broker.ROWS, *process.ROWS, *model.ROWS)
