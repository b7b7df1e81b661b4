"""Preparation of the user's task definition files: types, variables, Dynamo's containers."""
