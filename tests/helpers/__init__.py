"""What tests share: small worlds, runs, servers, harnesses."""
