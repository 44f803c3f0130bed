"""Networks on OpenVINO devices: letterbox, engine, device discovery."""
