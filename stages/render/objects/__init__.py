"""Things in front of a face and on a head: glasses, masks, hands, hats, hair; with labels of their own."""
