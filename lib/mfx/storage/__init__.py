"""Where bytes lie: addresses, and S3 asked with retries and one error."""
