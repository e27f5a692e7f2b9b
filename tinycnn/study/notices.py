"""What every run says first: what the numbers are not for, and what synthetic images are not."""

NOTICE = "For research and teaching only, never for diagnosis."
SYNTHETIC = "SYNTHETIC images: drawn by tinycnn.chest_phantoms, no patients; these numbers say nothing about radiology."
