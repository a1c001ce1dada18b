select world.chain('u01', '88601');
