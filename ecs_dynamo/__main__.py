"""`python -m ecs_dynamo` is the command line."""

from ecs_dynamo.cli.main import main

if __name__ == "__main__":
    main()
