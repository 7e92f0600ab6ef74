"""Do the metrics order pictures whose order is known?"""
