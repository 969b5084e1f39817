"""Text becomes a Plan, or all its problems.

Holds: conversion of trees to structs, the checks of configuration and definitions, the shipped
definitions, the plan and the difference of two plans, JSON Schema.
May import: the kernel and the model. The modules that open files are in the io contract.
Must never: stop at the first problem, or guess what a user may have meant.
"""
