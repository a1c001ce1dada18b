"""Keeps Redis equal to Postgres, pass by pass: source (Postgres), store (Redis), the passes between them."""
