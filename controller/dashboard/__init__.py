"""One local web page over the broker: the fleet, and each box with its people as they move."""
