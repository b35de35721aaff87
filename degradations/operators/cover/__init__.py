"""What lies on a page or takes a part of it away: patches, labels, tape, fingers, stamps, folded and cropped edges."""
