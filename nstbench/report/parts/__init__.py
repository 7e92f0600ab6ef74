"""What several report sections share: number formats, charts, pictures, templates."""
