"""The processes of one replica: a supervisor, its workers, their listeners and their memory."""
