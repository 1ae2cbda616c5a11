"""Imports and exports of groups as jobs: a file becomes groups with members, and groups become a file."""
