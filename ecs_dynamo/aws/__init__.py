"""The only package that calls AWS: observation, execution, and what `doctor` inspects.

Every call goes through `client.Aws`, which limits rates, retries and checks answers.
"""
