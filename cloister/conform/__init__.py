"""`cloister conform URL`: does a server speak OpenAI's API so that stock clients never stumble?"""
