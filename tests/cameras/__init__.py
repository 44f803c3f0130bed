"""Cameras as they are in the field: real servers, real encoders, and what each of them does wrong."""
