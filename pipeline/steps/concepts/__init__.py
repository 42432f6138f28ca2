"""Clustering: the phases that give every embedded sample a concept, for all steps that cluster."""
