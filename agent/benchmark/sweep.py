"""The study on this box: row after row, written down after each, so that a restart goes on where it was."""

import threading
from collections.abc import Callable, Sequence
from contextlib import closing
from dataclasses import dataclass

import cv2
import numpy as np

from agent.benchmark.baseline import Original
from agent.benchmark.clips import BenchmarkClip
from agent.benchmark.limit import Limits
from agent.benchmark.load import LoadMeter
from agent.benchmark.measure import Measured, agree, run_once
from agent.benchmark.repeats import another, counted
from agent.benchmark.rows import best, settings_of
from agent.benchmark.statistics import percentiles, spread
from agent.config import Config
from agent.control.asking import Box, require_precision
from agent.control.settings import Settings
from agent.control.workshop import Workshop, exact
from agent.errors import CancelledError, EdgeposeError
from agent.inference.engine import Engine
from agent.pipeline import Lane
from agent.poses.agreement import POSSIBLE, Outcome, verdict
from agent.poses.decoders import decoder_for
from agent.poses.skeleton import Poses
from agent.reporter import effective
from agent.tracking import track_stage
from agent.wire.commands import CommandError
from agent.wire.devices import DeviceString, require
from agent.wire.study import Benchmark, Measuring, Recipe, Row, Study, Sweep
from models.catalogue import NetworkCard
from models.store import Store

Tell = Callable[[str, float], None]
Keep = Callable[[Study], None]
LIMIT_S = 3.0
"""How long the raw throughput of each row is measured."""
