"""The controller's page, as far as it needs no browser; tests/browser has the rest."""
