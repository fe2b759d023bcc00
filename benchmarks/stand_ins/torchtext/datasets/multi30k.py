URL: dict[str, str] = {}
