"""The controller: finds a worker for each request and passes bytes both ways."""
