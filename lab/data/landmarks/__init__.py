"""X-rays with landmarks: three public sets in their official layouts, a user's own images, and drawn stand-ins."""
