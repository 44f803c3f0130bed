"""All rows, in the order of docs/reliability.md."""

from tests.fault import access, box, camera, life, limits, model, network, outage, process, rtsp
from tests.fault.table import Row

ROWS: tuple[Row, ...] = (
    *camera.ROWS,
    *rtsp.ROWS,
    *outage.ROWS,
    *network.ROWS,
    *access.ROWS,
    *process.ROWS,
    *life.ROWS,
    *box.ROWS,
    *model.ROWS,
    *limits.ROWS,
)
