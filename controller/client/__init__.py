"""The broker and the agents on it, for a program: connection, session, fleet, requests, jobs."""
