import urllib.request
from urllib import request

__all__ = ["request", "urllib"]
