"""The lab: real PostgreSQL clusters, a Kafka broker, Kafka Connect and the lockstep binary.

Everything runs in one private directory on private ports, and every process is ended by its id.
"""
