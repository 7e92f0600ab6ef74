"""Parts that several report sections use: number formats, charts, pictures, templates."""
